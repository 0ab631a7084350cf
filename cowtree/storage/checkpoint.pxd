"""The checkpoint page (FORMAT §2.2)."""
