/**
 * Starts a server that follows nobody.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"

/** On the preferred port where that is free, else on another; returns the port. */
export const start = (
  server: Server.Server,
  preferred?: Option.Option<number>
): Effect.Effect<number, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Server.startOnFreePort(
    (port) =>
      Effect.zipRight(
        Settings.writeNode(server.installation.account, server.dataDirectory, {
          port,
          primaryConnection: "",
          applyDelay: Duration.zero
        }),
        Server.start(server, port)
      ),
    preferred
  )
