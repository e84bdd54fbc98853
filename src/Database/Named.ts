/**
 * The services of a second database in one program, under tags of its own.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Types from "effect/Types"
import type { BuildError, Options, Services } from "../Database.ts"
import { AdvisoryLock } from "../AdvisoryLock.ts"
import { HealthMonitor } from "../HealthMonitor.ts"
import { Listener } from "../Listener.ts"
import { NodeMonitor } from "../NodeMonitor.ts"
import { QueryRouter } from "../QueryRouter.ts"
import { Transaction } from "../Transaction.ts"

/**
 * A service of the database of that name, as it stands among an effect's requirements.
 *
 * @since 0.1.0
 * @category models
 */
export interface Of<in out Name extends string, in out Service> {
  readonly "~plinth/Database": { readonly name: Types.Invariant<Name>; readonly service: Types.Invariant<Service> }
}

/**
 * All services of the database of that name.
 *
 * @since 0.1.0
 * @category models
 */
export type ServicesOf<Name extends string, Service = Services> = Service extends unknown ? Of<Name, Service> : never

/**
 * The tags of one database: a statement through them never reaches another one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Named<Name extends string> {
  readonly SqlClient: Context.Tag<Of<Name, SqlClient.SqlClient>, SqlClient.SqlClient>
  readonly PgClient: Context.Tag<Of<Name, PgClient.PgClient>, PgClient.PgClient>
  readonly Transaction: Context.Tag<Of<Name, Transaction>, Transaction["Type"]>
  readonly AdvisoryLock: Context.Tag<Of<Name, AdvisoryLock>, AdvisoryLock["Type"]>
  readonly QueryRouter: Context.Tag<Of<Name, QueryRouter>, QueryRouter["Type"]>
  readonly NodeMonitor: Context.Tag<Of<Name, NodeMonitor>, NodeMonitor["Type"]>
  readonly Listener: Context.Tag<Of<Name, Listener>, Listener["Type"]>
  readonly HealthMonitor: Context.Tag<Of<Name, HealthMonitor>, HealthMonitor["Type"]>
  /** `Database.layer` under these tags. */
  readonly layer: (options?: Options) => Layer.Layer<ServicesOf<Name>, BuildError>
  /** Any layer of the stock tags under these tags: `Database.layerConfig()`, or a stub. */
  readonly layerFrom: <E, R>(layer: Layer.Layer<Services, E, R>) => Layer.Layer<ServicesOf<Name>, E, R>
  /** This database under the stock tags, for what asks for those: a repository, a migrator, `Transaction.run`. */
  readonly services: Layer.Layer<Services, never, ServicesOf<Name>>
}

/** Builds the tags; `layer` is the default stack's. */
export const make = <const Name extends string>(
  name: Name,
  layer: (options?: Options) => Layer.Layer<Services, BuildError>
): Named<Name> => {
  const tag = <Identifier, Service>(stock: Context.Tag<Identifier, Service>) =>
    Context.GenericTag<Of<Name, Identifier>, Service>(`plinth/Database/${name}/${stock.key}`)
  const tags = {
    SqlClient: tag(SqlClient.SqlClient),
    PgClient: tag(PgClient.PgClient),
    Transaction: tag(Transaction),
    AdvisoryLock: tag(AdvisoryLock),
    QueryRouter: tag(QueryRouter),
    NodeMonitor: tag(NodeMonitor),
    Listener: tag(Listener),
    HealthMonitor: tag(HealthMonitor)
  }
  const own = (stock: Context.Context<Services>): Context.Context<ServicesOf<Name>> =>
    Context.make(tags.SqlClient, Context.get(stock, SqlClient.SqlClient)).pipe(
      Context.add(tags.PgClient, Context.get(stock, PgClient.PgClient)),
      Context.add(tags.Transaction, Context.get(stock, Transaction)),
      Context.add(tags.AdvisoryLock, Context.get(stock, AdvisoryLock)),
      Context.add(tags.QueryRouter, Context.get(stock, QueryRouter)),
      Context.add(tags.NodeMonitor, Context.get(stock, NodeMonitor)),
      Context.add(tags.Listener, Context.get(stock, Listener)),
      Context.add(tags.HealthMonitor, Context.get(stock, HealthMonitor))
    )
  const stock = (own: Context.Context<ServicesOf<Name>>): Context.Context<Services> =>
    Context.make(SqlClient.SqlClient, Context.get(own, tags.SqlClient)).pipe(
      Context.add(PgClient.PgClient, Context.get(own, tags.PgClient)),
      Context.add(Transaction, Context.get(own, tags.Transaction)),
      Context.add(AdvisoryLock, Context.get(own, tags.AdvisoryLock)),
      Context.add(QueryRouter, Context.get(own, tags.QueryRouter)),
      Context.add(NodeMonitor, Context.get(own, tags.NodeMonitor)),
      Context.add(Listener, Context.get(own, tags.Listener)),
      Context.add(HealthMonitor, Context.get(own, tags.HealthMonitor))
    )
  const layerFrom = <E, R>(layer: Layer.Layer<Services, E, R>) => Layer.map(layer, own)
  return {
    ...tags,
    layer: (options) => layerFrom(layer(options)),
    layerFrom,
    services: Layer.effectContext(Effect.map(Effect.context<ServicesOf<Name>>(), stock))
  }
}
