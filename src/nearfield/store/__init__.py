"""The truth: documents, the change log, cached vectors, collections and generations, in SQL.

`tables` holds the schema, `migrations/` how a database gets it. `collections`, `documents`, `change_log`, `vectors`,
`generations` and `compaction` hold the statements, in SQL that every database understands, as functions of a
connection. `writer` groups writes into transactions, `readers` runs reads beside them, `sql_store` puts the
asynchronous seam on top, and `sqlite` is the only file that knows which database it is.
"""
