-- What is sold.
--
-- Money is a whole number of cents: exact, compact, and compared by the processor. int4 holds 21 million per item;
-- sums over many rows are bigint because sum(integer) is.

CREATE TABLE products (
  id           bigint      GENERATED ALWAYS AS IDENTITY,
  sku          text        NOT NULL,
  name         text        NOT NULL,
  category     text        NOT NULL,
  price_cents  integer     NOT NULL,
  stock        integer     NOT NULL DEFAULT 0,
  attributes   jsonb       NOT NULL DEFAULT '{}',
  created_at   timestamptz NOT NULL DEFAULT now(),
  withdrawn_at timestamptz,

  CONSTRAINT products_pkey PRIMARY KEY (id),
  CONSTRAINT products_sku_key UNIQUE (sku),
  CONSTRAINT products_sku_shape CHECK (sku ~ '^[A-Z]{3}-[0-9]{4}$'),
  CONSTRAINT products_name_not_blank CHECK (btrim(name) <> ''),
  CONSTRAINT products_price_positive CHECK (price_cents > 0),
  -- The last line of defence against selling what is not there: two orders for the last item cannot both commit.
  CONSTRAINT products_stock_not_negative CHECK (stock >= 0),
  CONSTRAINT products_attributes_object CHECK (jsonb_typeof(attributes) = 'object')
);

-- The shop window: what is on sale in a category, cheapest first, answered from the index alone.
CREATE INDEX products_on_sale ON products (category, price_cents) INCLUDE (name, stock) WHERE withdrawn_at IS NULL;

-- attributes @> '{"colour": "red"}'; path_ops is half the size of the default class and serves containment only.
CREATE INDEX products_attributes ON products USING gin (attributes jsonb_path_ops);

COMMENT ON COLUMN products.price_cents IS 'Price today. What a customer paid is in order_lines.unit_price_cents.';
