/**
 * The closed list of reasons why a database operation fails, with what each one means for the caller.
 */

/** What a caller may do about a failure. */
export interface ReasonPolicy {
  /**
   * Running the whole transaction again from its start may succeed, and nothing of the failed run can have been kept.
   */
  readonly retryable: boolean
  /** It may pass by itself: nobody has to change a statement, a row, a privilege or a setting. */
  readonly transient: boolean
  /** The node could not be reached or went away; counts for breakers, and another node may answer. */
  readonly connection: boolean
  /** What to do, appended to the message where the server gave no hint. */
  readonly advice?: string | undefined
}

const fault: ReasonPolicy = { retryable: false, transient: false, connection: false }
const passing: ReasonPolicy = { retryable: false, transient: true, connection: false }
const rerun: ReasonPolicy = { retryable: true, transient: true, connection: false }
const unreachable: ReasonPolicy = { retryable: true, transient: true, connection: true }

/**
 * `retryable` follows the manual ("Serialization Failure Handling": 40001 and 40P01 are retried as whole transactions)
 * plus the failures after which the server has certainly rolled back: a connection lost before COMMIT was sent, a
 * server that goes away or does not let anybody in. A commit in doubt is neither.
 */
export const reasons = {
  // reaching the server
  ConnectionRefused: { ...unreachable, advice: "Check that the server runs and that host and port are right" },
  ConnectionLost: unreachable,
  CannotConnectNow: { ...unreachable, advice: "The server is starting, stopping or recovering" },
  TooManyConnections: {
    ...unreachable,
    advice: "Lower the pool's max or raise max_connections; `plinth pool advise` computes both"
  },
  AdminShutdown: unreachable,
  AuthenticationFailed: { ...fault, advice: "Check user, password and pg_hba.conf" },
  TlsFailed: { ...fault, advice: "Check sslmode and the certificates on both sides" },
  ProtocolViolation: fault,
  // the client's own refusals
  AcquireTimeout: { ...passing, advice: "Raise the pool's max or acquireTimeout, or hold connections for less long" },
  PoolClosed: fault,
  SplitBrain: {
    ...fault,
    advice: "Stop the primary that should not be one; writes go on as soon as there is only one"
  },
  BreakerOpen: { ...passing, advice: "The node failed repeatedly and is given time to recover" },
  SessionStatement: {
    ...fault,
    advice: "The statement changes a session, and a pooled client has none: use reserve or Transaction.run"
  },
  // limits in time
  StatementTimeout: passing,
  LockTimeout: { ...passing, advice: "Another transaction holds the lock" },
  TransactionTimeout: passing,
  IdleInTransactionTimeout: fault,
  QueryCanceled: fault,
  // the transaction
  SerializationFailure: { ...rerun, advice: "Run the whole transaction again" },
  DeadlockDetected: { ...rerun, advice: "Run the whole transaction again" },
  RecoveryConflict: { ...rerun, advice: "Run it on another replica or on the primary" },
  ReadOnly: { ...fault, advice: "The node is a standby or the transaction is read only" },
  TransactionAborted: {
    ...fault,
    advice: "An earlier statement of the transaction failed, and everything in it was rolled back"
  },
  CommitInDoubt: {
    ...fault,
    advice: "Whether it was committed is not known: look for its effects before you run it again"
  },
  InvalidState: fault,
  // constraints
  UniqueViolation: fault,
  ForeignKeyViolation: fault,
  NotNullViolation: fault,
  CheckViolation: fault,
  ExclusionViolation: fault,
  // the statement
  SyntaxError: fault,
  InvalidData: fault,
  UndefinedObject: fault,
  DuplicateObject: fault,
  ObjectInUse: fault,
  InsufficientPrivilege: fault,
  Unsupported: fault,
  RaisedException: fault,
  // the server
  LimitExceeded: fault,
  DiskFull: fault,
  OutOfMemory: passing,
  DataCorrupted: { ...fault, advice: "Stop writing to this node and check it with amcheck before anything else" },
  ForeignServer: { ...fault, advice: "The failure is that of a foreign server or dblink, not of this connection" },
  Unknown: fault
} as const satisfies Record<string, ReasonPolicy>

/**
 * Why an operation failed; the only field of a `DatabaseError` to branch on.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = keyof typeof reasons

/** The policy of a reason, as the interface and not as its literal. */
export const policy = (reason: Reason): ReasonPolicy => reasons[reason]
