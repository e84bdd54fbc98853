/**
 * HTTP endpoints, as routers to be mounted in an `@effect/platform` server.
 *
 * @since 0.1.0
 */

export * as HealthRoutes from "./HealthRoutes.ts"
