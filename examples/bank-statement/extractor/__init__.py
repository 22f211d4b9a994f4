"""Turns one OFX statement file into tx_v1 transactions.

Reading order: `encoding` (bytes to text), `ofx` (text to a tree), `statement` (the tree's
statements and bank statuses), `identity` (which transactions, with which ids), `values`
(amounts and dates), `normalise` (tx_v1), `protocol` (Moorline's process contract),
`__main__` (the job). Nothing here opens a socket or needs a
package outside the standard library.
"""
