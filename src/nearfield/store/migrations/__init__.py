"""Alembic's environment and the revisions. Databases that exist went through them: a revision is never edited."""
