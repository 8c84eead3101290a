"""`lightning ablate`: rows of trainings compared under equal tuning budgets; resumable."""
