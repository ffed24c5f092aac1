"""What is fixed by the method and never a setting."""

RATE_HZ = 16_000
UNKNOWN = "unknown"
