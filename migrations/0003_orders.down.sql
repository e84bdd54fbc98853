DROP FUNCTION IF EXISTS sales_by_day(date, date, text);
DROP TABLE order_lines;
DROP TABLE orders;
