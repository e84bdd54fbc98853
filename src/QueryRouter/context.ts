/**
 * What a fiber says of its reads.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import { Session } from "./Session.ts"

/** What a read must see: everything, what its session has seen, nothing older than a bound, or whatever there is. */
export type Level = "strong" | "session" | "bounded" | "eventual"

export interface RoutingOptions {
  /** Overrides the router's. */
  readonly level?: Level | undefined
  /** Of "bounded". */
  readonly staleness?: Duration.DurationInput | undefined
}

export class Routing extends Context.Reference<Routing>()("plinth/QueryRouter/Routing", {
  defaultValue: (): RoutingOptions => ({})
}) {}

/**
 * The sessions of a fiber: one per router, since positions of one cluster say nothing of another. None are those that
 * all fibers share.
 */
export class CurrentSession extends Context.Reference<CurrentSession>()("plinth/QueryRouter/CurrentSession", {
  defaultValue: (): Option.Option<Sessions> => Option.none()
}) {}

/** What has been seen of each cluster, by its router. */
export class Sessions {
  private readonly byRouter: Map<object, Session>

  constructor(entries: Iterable<readonly [router: object, session: Session]> = []) {
    this.byRouter = new Map(entries)
  }

  of(router: object): Session {
    let session = this.byRouter.get(router)
    if (session === undefined) {
      session = new Session()
      this.byRouter.set(router, session)
    }
    return session
  }

  /** The same with another session for one router. */
  with(router: object, session: Session): Sessions {
    return new Sessions([...this.byRouter, [router, session]])
  }
}
