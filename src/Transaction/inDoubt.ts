/**
 * What was sent outside of a transaction block, and may have been committed although no answer came.
 */
import { DatabaseError } from "../DatabaseError.ts"

/**
 * Turns the loss of a connection into a doubt where the statement may have written. What was not sent, or certainly not
 * begun, fails with the operation of the connection; FATAL as an answer says that the server ended it before the commit.
 */
export const inDoubtIf =
  (mayHaveWritten: () => boolean, commits: "query" | "commit" = "query") =>
  (error: DatabaseError): DatabaseError =>
    error.reason === "ConnectionLost" && error.operation === commits && mayHaveWritten()
      ? // It must not look like something that can be run again.
        new DatabaseError({
          reason: "CommitInDoubt",
          operation: error.operation,
          description: "the connection was lost before the answer to a statement that may have written",
          node: error.node,
          cause: error
        })
      : error
