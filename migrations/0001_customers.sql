-- Who buys.
--
-- Keys are bigint identities: a sequence that runs out of int4 is an outage on a good day, and ALWAYS keeps an
-- application from writing the key itself and colliding with the sequence later.

CREATE TABLE customers (
  id         bigint      GENERATED ALWAYS AS IDENTITY,
  email      text        NOT NULL,
  name       text        NOT NULL,
  country    text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  closed_at  timestamptz,

  CONSTRAINT customers_pkey PRIMARY KEY (id),
  -- Only what no mail server would accept is refused here; whether an address works is found out by writing to it.
  CONSTRAINT customers_email_shape CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+$' AND length(email) <= 254),
  CONSTRAINT customers_name_not_blank CHECK (btrim(name) <> ''),
  CONSTRAINT customers_country_iso3166 CHECK (country ~ '^[A-Z]{2}$'),
  CONSTRAINT customers_closed_after_created CHECK (closed_at >= created_at)
);

-- One open account per address, whatever its case. Partial, so that a closed account does not block a new one.
CREATE UNIQUE INDEX customers_open_email_key ON customers (lower(email)) WHERE closed_at IS NULL;

COMMENT ON TABLE customers IS 'Who buys. An account is closed, never deleted: its orders must stay readable.';
