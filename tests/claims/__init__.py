"""Claims of papers, each one test."""
