"""What a month's season is, on the northern half of the earth."""

NAMES = ["winter", "spring", "summer", "autumn"]


def of(month):
    return NAMES[month % 12 // 3]
