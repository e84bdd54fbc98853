-- plinth: no-transaction
--
-- Sales per product, from the index alone, and the index behind the foreign key to products. CONCURRENTLY reads the
-- table twice and blocks no writer, and therefore cannot run inside a transaction: this file holds nothing else.
-- No IF NOT EXISTS: after a failed build it would find the INVALID index of that name and report success.

CREATE INDEX CONCURRENTLY order_lines_of_product ON order_lines (product_id) INCLUDE (quantity, amount_cents);
