-- 500 products in ten categories, priced between 3 and 900.

WITH ranges AS (
  SELECT
    ARRAY['BOK','CHA','CUP','DES','KEY','LMP','MON','PEN','RUG','TEA'] AS codes,
    ARRAY['Books','Chairs','Cups','Desks','Keyboards','Lamps','Monitors','Pens','Rugs','Tea'] AS categories,
    ARRAY[12, 140, 9, 320, 80, 45, 260, 3, 95, 7] AS euros,
    ARRAY['oak','ash','black','white','red','green','blue','brass','grey','sand'] AS colours,
    ARRAY['small','medium','large'] AS sizes
), rolled AS (
  SELECT
    n,
    1 + n % 10 AS kind,
    ('x' || substr(md5('product ' || n), 1, 7))::bit(28)::integer AS a,
    ('x' || substr(md5('product ' || n), 8, 7))::bit(28)::integer AS b,
    ('x' || substr(md5('product ' || n), 15, 7))::bit(28)::integer AS c
  FROM generate_series(1, 500) AS n
)
INSERT INTO products (sku, name, category, price_cents, stock, attributes, created_at, withdrawn_at)
SELECT
  codes[kind] || '-' || lpad(n::text, 4, '0'),
  initcap(colours[1 + a % 10]) || ' ' || lower(rtrim(categories[kind], 's')) || ' no. ' || n,
  categories[kind],
  -- From the base price to 2.8 times of it, ending in 90 cents.
  euros[kind] * 100 + (euros[kind] * (b % 181) / 100) * 100 + 90,
  c % 400,
  jsonb_build_object('colour', colours[1 + a % 10], 'size', sizes[1 + b % 3], 'weight_grams', 50 + c % 20000),
  timestamptz '2023-01-01 00:00:00+00' + (n % 90) * interval '1 day',
  -- One in twenty has left the range, after the last order of these seeds.
  CASE WHEN c % 20 = 0 THEN timestamptz '2026-01-01 00:00:00+00' END
FROM rolled CROSS JOIN ranges
ON CONFLICT (sku) DO NOTHING;
