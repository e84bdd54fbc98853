/**
 * The map: every module, in dependency order. A module imports only modules listed above it.
 *
 * @since 0.1.0
 */

// vocabulary: pure, no services
export * as DatabaseError from "./DatabaseError.ts"
export * as DatabaseConfig from "./DatabaseConfig.ts"
export * as SqlText from "./SqlText.ts"
export * as SqlClassifier from "./SqlClassifier.ts"

// staying up
export * as RetryPolicy from "./RetryPolicy.ts"
export * as CircuitBreaker from "./CircuitBreaker.ts"

// reaching PostgreSQL
export * as ConnectionPool from "./ConnectionPool.ts"
export * as Listener from "./Listener.ts"

// running SQL
export * as Transaction from "./Transaction.ts"
export * as AdvisoryLock from "./AdvisoryLock.ts"
export * as DatabaseClient from "./DatabaseClient.ts"
export * as NodeMonitor from "./NodeMonitor.ts"
export * as QueryRouter from "./QueryRouter.ts"

// capabilities: siblings, they never import one another
export * as HealthCheck from "./HealthCheck.ts"
export * as Migrator from "./Migrator.ts"
export * as HealthMonitor from "./HealthMonitor.ts"
export * as PoolOptimizer from "./PoolOptimizer.ts"
export * as Backup from "./Backup.ts"

// the default stack
export * as Database from "./Database.ts"
