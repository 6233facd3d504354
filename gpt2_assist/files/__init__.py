"""Reading and writing files so that nothing is lost, leaked or followed where it shouldn't be."""
