"""The screens: one module for each thing that is looked at or asked."""
