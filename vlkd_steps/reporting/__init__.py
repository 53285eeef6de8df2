"""The report's numbers, figures and page, and the views in MLflow."""

from vlkd_steps.core import home

home.provide()  # before any of them imports matplotlib
