-- plinth: no-transaction
DROP INDEX CONCURRENTLY order_lines_of_product;
