"""``python -m vlkd_steps`` is ``vlkd``."""

from vlkd_steps.cli.main import main

raise SystemExit(main())
