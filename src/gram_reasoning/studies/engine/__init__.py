"""What runs a study: plan.py fixes steps and rates, work.py does one job, scheduler.py all of them, table.py tells."""
