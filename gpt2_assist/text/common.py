"""Where two texts are alike, at the speed of comparing memory."""


def common_start(left: str, right: str) -> int:
    """Characters with which both begin."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_end(left: str, right: str, most: int) -> int:
    """Characters with which both end, `most` at most."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if left[len(left) - middle:len(left) - low] == right[len(right) - middle:len(right) - low]:
            low = middle
        else:
            high = middle - 1
    return low
