"""What things cost: measured side by side, printed as tables, drawn as plots."""
