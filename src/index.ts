/**
 * The map: every module, in dependency order. A module imports only modules listed above it.
 *
 * @since 0.1.0
 */

// vocabulary: pure, no services
export * as DatabaseError from "./DatabaseError.ts"
export * as DatabaseConfig from "./DatabaseConfig.ts"
export * as SqlText from "./SqlText.ts"

// staying up
export * as RetryPolicy from "./RetryPolicy.ts"
export * as CircuitBreaker from "./CircuitBreaker.ts"
