"""VLKD Steps: a reproducibility pipeline for vision-language knowledge distillation.

Importing the package imports nothing heavy: a step that needs torch imports it itself.
"""
