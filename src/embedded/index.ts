/**
 * Real PostgreSQL servers without an installation: `effect-plinth/embedded`.
 *
 * @since 0.1.0
 */
export * as EmbeddedDatabase from "./EmbeddedDatabase.ts"
export * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
export * as EmbeddedPostgresError from "./EmbeddedPostgresError.ts"
export type { Node } from "./Node.ts"
