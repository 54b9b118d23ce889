"""What every row is measured with: processes, figures, the table."""
