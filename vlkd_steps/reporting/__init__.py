"""A report's numbers, figures and page."""

from vlkd_steps.core import home

home.provide()  # before any of them imports matplotlib
