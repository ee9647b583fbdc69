"""What is handed on of a result: a report of a case, and what changed between the visits of a patient."""
