-- What was bought: orders and their lines.

CREATE TABLE orders (
  id           bigint      GENERATED ALWAYS AS IDENTITY,
  -- The number a customer quotes on the phone, and the key by which a client retries a POST without ordering twice.
  reference    text        NOT NULL DEFAULT gen_random_uuid()::text,
  customer_id  bigint      NOT NULL,
  -- text and CHECK, not an enum: a value leaves a CHECK by NOT VALID and VALIDATE without a rewrite; an enum keeps it.
  status       text        NOT NULL DEFAULT 'placed',
  currency     text        NOT NULL DEFAULT 'EUR',
  placed_at    timestamptz NOT NULL DEFAULT now(),
  shipped_at   timestamptz,
  cancelled_at timestamptz,
  note         text,

  CONSTRAINT orders_pkey PRIMARY KEY (id),
  CONSTRAINT orders_reference_key UNIQUE (reference),
  CONSTRAINT orders_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE RESTRICT,
  CONSTRAINT orders_status_known CHECK (status IN ('placed', 'paid', 'shipped', 'cancelled')),
  CONSTRAINT orders_currency_iso4217 CHECK (currency ~ '^[A-Z]{3}$'),
  -- A status and the time that proves it cannot contradict each other.
  CONSTRAINT orders_shipped_has_time CHECK ((status = 'shipped') = (shipped_at IS NOT NULL)),
  CONSTRAINT orders_cancelled_has_time CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
  CONSTRAINT orders_times_in_order CHECK (shipped_at >= placed_at AND cancelled_at >= placed_at)
);

-- A customer's history, newest first, from the index alone. It serves the foreign key too: without it the check behind
-- DELETE FROM customers reads the whole table.
CREATE INDEX orders_of_customer ON orders (customer_id, placed_at DESC) INCLUDE (reference, status);

-- The packing queue. Partial: it holds the few hundred open orders and not the millions that are done.
CREATE INDEX orders_to_ship ON orders (placed_at) WHERE status = 'paid';

CREATE TABLE order_lines (
  order_id         bigint  NOT NULL,
  line             integer NOT NULL,
  product_id       bigint  NOT NULL,
  quantity         integer NOT NULL,
  unit_price_cents integer NOT NULL,
  amount_cents     bigint  NOT NULL GENERATED ALWAYS AS (quantity::bigint * unit_price_cents) STORED,

  -- A line has no life of its own: its key is the order's and a number, and its rows lie beside each other.
  CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line),
  CONSTRAINT order_lines_order_fkey FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT order_lines_product_fkey FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE RESTRICT,
  CONSTRAINT order_lines_line_positive CHECK (line > 0),
  CONSTRAINT order_lines_quantity_positive CHECK (quantity > 0),
  -- Zero is a gift; less would be a payment to the customer, which is what refunds are for.
  CONSTRAINT order_lines_price_not_negative CHECK (unit_price_cents >= 0)
);

COMMENT ON COLUMN order_lines.unit_price_cents IS 'The price when the order was placed; later price changes do not rewrite history.';
