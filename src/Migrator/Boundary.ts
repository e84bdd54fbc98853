/**
 * What PostgreSQL lets a statement share a transaction with: one table of the statements that cannot run inside a
 * transaction, or whose effect is not usable before its commit.
 */

/** How a statement stands to the transaction around it. */
export type Boundary =
  /** It runs in a transaction with its neighbours. */
  | { readonly _tag: "Together" }
  /** It runs by itself, outside of a transaction, because of `why`. */
  | { readonly _tag: "Alone"; readonly why: string; readonly concurrently: boolean }
  /** It runs in a transaction, and what it makes can be used only after the commit. */
  | { readonly _tag: "CommitAfter"; readonly why: string }
  /** A migration must not contain it. */
  | { readonly _tag: "Refused"; readonly why: string; readonly advice: string; readonly controlsTransaction: boolean }

const together: Boundary = { _tag: "Together" }

const concurrently = (what: string): Boundary => ({
  _tag: "Alone",
  why: `${what} waits for other transactions and cannot be in one`,
  concurrently: true
})

const alone = (what: string): Boundary => ({
  _tag: "Alone",
  why: `${what} cannot run inside a transaction`,
  concurrently: false
})

const transactionControl: Boundary = {
  _tag: "Refused",
  why: "it controls the transaction that it runs in",
  controlsTransaction: true,
  advice:
    "remove it: every migration already runs in a transaction of its own, together with its row in the history. " +
    "Statements that need a commit between them go into two migrations"
}

const metaCommand: Boundary = {
  _tag: "Refused",
  why: "a backslash command belongs to psql and not to SQL",
  controlsTransaction: false,
  advice: "remove it, or write what it does as SQL"
}

const copyFromStdin: Boundary = {
  _tag: "Refused",
  why: "COPY .. FROM STDIN needs rows that follow it on the connection",
  controlsTransaction: false,
  advice:
    "write the rows as INSERT .. VALUES, as pg_dump --inserts does, or load them apart from the migrations with psql's \\copy"
}

/**
 * Matched in order against the statement's tokens joined by single spaces. From the manual pages of the statements
 * ("cannot be executed inside a transaction block") and `PreventInTransactionBlock` in PostgreSQL 14 to 18.
 */
const table: ReadonlyArray<readonly [pattern: RegExp, boundary: Boundary]> = [
  [/^CREATE (UNIQUE )?INDEX CONCURRENTLY\b/i, concurrently("CREATE INDEX CONCURRENTLY")],
  [/^DROP INDEX CONCURRENTLY\b/i, concurrently("DROP INDEX CONCURRENTLY")],
  [/^REINDEX \([^)]*\bCONCURRENTLY\b(?! (FALSE|OFF|0)\b)/i, concurrently("REINDEX CONCURRENTLY")],
  [/^REINDEX (\([^)]*\) )?(INDEX|TABLE|SCHEMA|DATABASE|SYSTEM) CONCURRENTLY\b/i, concurrently("REINDEX CONCURRENTLY")],
  [/^REINDEX (\([^)]*\) )?(SCHEMA|DATABASE|SYSTEM)\b/i, alone("REINDEX of a schema or database")],
  [/^ALTER TABLE .* DETACH PARTITION .* CONCURRENTLY$/i, concurrently("DETACH PARTITION CONCURRENTLY")],
  [/^VACUUM\b/i, alone("VACUUM")],
  [/^CLUSTER( VERBOSE| \([^)]*\))?$/i, alone("CLUSTER of every table")],
  [/^ALTER SYSTEM\b/i, alone("ALTER SYSTEM")],
  [/^(CREATE|DROP) DATABASE\b/i, alone("CREATE or DROP DATABASE")],
  [/^ALTER DATABASE .* SET TABLESPACE\b/i, alone("moving a database")],
  [/^(CREATE|DROP) TABLESPACE\b/i, alone("CREATE or DROP TABLESPACE")],
  [/^(CREATE|DROP) SUBSCRIPTION\b/i, alone("CREATE or DROP SUBSCRIPTION")],
  [/^ALTER SUBSCRIPTION .* (REFRESH|SET|ADD|DROP) PUBLICATION\b/i, alone("ALTER SUBSCRIPTION")],
  [/^DISCARD ALL\b/i, alone("DISCARD ALL")],
  [/^ALTER TYPE .* ADD VALUE\b/i, { _tag: "CommitAfter", why: "a new enum value can be used only after its commit" }],
  // The grammar takes both names for the client.
  [/^COPY .* FROM STD(IN|OUT)\b/i, copyFromStdin],
  [/^(BEGIN|COMMIT|END|ABORT)\b/i, transactionControl],
  [/^START TRANSACTION\b/i, transactionControl],
  [/^PREPARE TRANSACTION\b/i, transactionControl],
  [/^ROLLBACK\b(?!( (WORK|TRANSACTION))? TO\b)/i, transactionControl],
  [/^\\/, metaCommand]
]

/** Looks a statement up by its normalised text (`SqlText.normalize`). */
export const boundaryOf = (normalized: string): Boundary =>
  table.find(([pattern]) => pattern.test(normalized))?.[1] ?? together

/**
 * May be put into a transaction with its progress record, so that both happen or neither does. `CALL` and `DO` may
 * commit by themselves, which PostgreSQL refuses inside a transaction.
 */
export const mayShareTransaction = (normalized: string): boolean => !/^(CALL|DO)\b/i.test(normalized)

/**
 * Sets something for the statements after it. A statement that runs apart from it, after a commit or in a later run,
 * needs it done again.
 */
export const setsSession = (normalized: string): boolean =>
  /^(SET|RESET) (?!(LOCAL|TRANSACTION|CONSTRAINTS)\b)/i.test(normalized)
