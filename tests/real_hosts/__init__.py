"""All callbacks on LightningModules of other people, built small: `python -m tests.real_hosts`."""
