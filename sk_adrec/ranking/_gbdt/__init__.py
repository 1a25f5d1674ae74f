"""Boosted trees (LightGBM) as the first layer of a model: columns, trees, leaves."""
