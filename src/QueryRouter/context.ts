/**
 * What a fiber says of its reads.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Session } from "./Session.ts"

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

/** None is the session that all fibers of a client share. */
export class CurrentSession extends Context.Reference<CurrentSession>()("plinth/QueryRouter/CurrentSession", {
  defaultValue: (): Option.Option<Session> => Option.none()
}) {}
