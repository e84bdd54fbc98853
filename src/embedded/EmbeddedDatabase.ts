/**
 * The default stack over an embedded cluster: a program that needs nothing but itself.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Database from "../Database.ts"
import * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface Options<R = never> extends Omit<Database.Options<R>, "url" | "replicaUrls"> {
  /**
   * The cluster that is started.
   *
   * @default one primary, gone with the scope
   */
  readonly cluster?: EmbeddedPostgres.Options | undefined
}

/**
 * Starts a cluster and wires `Database.layer` to its database `postgres` and to all its replicas.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>({ cluster, ...database }: Options<R> = {}): Layer.Layer<
  Database.Services | EmbeddedPostgres.EmbeddedPostgres,
  Database.BuildError | EmbeddedPostgresError,
  R
> =>
  Layer.unwrapEffect(
    Effect.map(EmbeddedPostgres.EmbeddedPostgres, ({ replicaUrls, url }) =>
      Database.layer<R>({ ...database, url, replicaUrls })
    )
  ).pipe(Layer.provideMerge(EmbeddedPostgres.layer(cluster)))
