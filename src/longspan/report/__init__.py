"""What the measurements say: records, summary, verdict, tables, figures and one page."""
