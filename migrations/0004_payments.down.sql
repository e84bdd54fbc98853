-- The repeatable view reads payments. It is dropped by name, not by CASCADE, and comes back with the next `up`.
DROP VIEW IF EXISTS order_summary;
DROP TABLE payments;
