"""The numbers that the papers print, one file for each table."""
