"""The paper's experiments as named studies: many small trainings, side by side, and a table and a figure in the paper's form."""
