-- What was paid. One row per attempt: a declined card is a fact worth keeping.

CREATE TABLE payments (
  id                 bigint      GENERATED ALWAYS AS IDENTITY,
  order_id           bigint      NOT NULL,
  method             text        NOT NULL,
  status             text        NOT NULL DEFAULT 'pending',
  amount_cents       bigint      NOT NULL,
  provider_reference text        NOT NULL,
  created_at         timestamptz NOT NULL DEFAULT now(),
  settled_at         timestamptz,

  CONSTRAINT payments_pkey PRIMARY KEY (id),
  CONSTRAINT payments_order_fkey FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE RESTRICT,
  -- The provider's own id, so that a webhook delivered twice is booked once.
  CONSTRAINT payments_provider_reference_key UNIQUE (provider_reference),
  CONSTRAINT payments_method_known CHECK (method IN ('card', 'transfer', 'invoice', 'wallet')),
  CONSTRAINT payments_status_known CHECK (status IN ('pending', 'captured', 'declined', 'refunded')),
  CONSTRAINT payments_amount_positive CHECK (amount_cents > 0),
  CONSTRAINT payments_settled_has_time CHECK ((status = 'pending') = (settled_at IS NULL)),
  CONSTRAINT payments_times_in_order CHECK (settled_at >= created_at)
);

CREATE INDEX payments_of_order ON payments (order_id) INCLUDE (status, amount_cents);

-- At most one attempt in flight per order: the double click becomes a unique violation and not a second charge.
CREATE UNIQUE INDEX payments_one_pending_per_order ON payments (order_id) WHERE status = 'pending';
