/**
 * HTTP endpoints and middleware, to be mounted in an `@effect/platform` server.
 *
 * @since 0.1.0
 */

export * as HealthRoutes from "./HealthRoutes.ts"
export * as SessionMiddleware from "./SessionMiddleware.ts"
