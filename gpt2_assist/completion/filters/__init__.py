"""What of a completion may be shown: small filters, one after another."""
