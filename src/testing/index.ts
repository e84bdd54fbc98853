/**
 * What a user's own tests need: `effect-plinth/testing`.
 *
 * @since 0.1.0
 */
export * as BackupStorageSuite from "./BackupStorageSuite.ts"
export * as ScriptedSql from "./ScriptedSql.ts"
export * as TestDatabase from "./TestDatabase.ts"
