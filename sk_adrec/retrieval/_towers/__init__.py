"""The parts that two towers are made of."""
