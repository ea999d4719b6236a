"""What each problem means to somebody who meets it, and what would do."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from api.problems import (
    BadSignature,
    BodyTooLarge,
    InternalFault,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    TooManyRequests,
    UnsupportedMediaType,
)
from lifecycle.refusals import (
    CaseExists,
    ConditionNotMet,
    DefinitionNotAdopted,
    FieldsMissing,
    IdempotencyKeyReused,
    InvalidFields,
    NotSignedIn,
    NotTheOwner,
    NotYours,
    Overloaded,
    ReasonRequired,
    ReferenceTaken,
    Refusal,
    StaffOnly,
    StorageUnavailable,
    TransitionNotOpen,
    UnknownCase,
    UnknownCollection,
    UnknownReference,
    UnknownTool,
    UnknownTransition,
    UnknownVersion,
    VersionMoved,
)


class Advice(Struct, frozen=True, kw_only=True):
    """One problem, for its reader."""

    means: str
    happens: Sequence[str]
    """When it is met; the commonest first."""
    do: Sequence[str]
    """What would do; the likeliest first."""
    detail: str = ""
    """For the example, where no request brings it about by itself."""
    facts: Mapping[str, object] = {}


class Group(Struct, frozen=True):
    """Problems that are put right in the same way."""

    title: str
    says: str
    kinds: Mapping[type[Refusal], Advice]


GROUPS: Final[Sequence[Group]] = (
    Group(
        "The request cannot be read",
        "Something about the request has to change; sending it again as it is will not help.",
        {
            MalformedRequest: Advice(
                means="The request is not what this address reads: its body, its query or one of"
                " its headers cannot be understood.",
                happens=[
                    "The body is no JSON in UTF-8, names a member twice, or is nested too deep.",
                    "A member is missing, is one too many, or is of another type.",
                    "A query parameter is unknown here, or is named twice.",
                    "If-Match is not a version in quotes, or a time has no offset.",
                ],
                do=[
                    "Read the detail: it names the place.",
                    "Compare the body with the schema of this operation.",
                ],
            ),
            BodyTooLarge: Advice(
                means="The body is longer than this service reads.",
                happens=["A single request carries more than 1 MiB."],
                do=[
                    "Send less at once.",
                    "Keep files where files are kept; a field holds facts, not documents.",
                ],
            ),
            UnsupportedMediaType: Advice(
                means="The body is said to be something else than JSON in UTF-8.",
                happens=[
                    "Content-Type names another format, or another charset than UTF-8.",
                    "A form was sent where JSON is read.",
                ],
                do=["Send JSON, and say so: Content-Type: application/json."],
            ),
            NotFound: Advice(
                means="Nothing has this address; or no message, notice or difference has this id.",
                happens=[
                    "The address is misspelt, or ends in a slash.",
                    "A lifecycle is named that is not defined here.",
                    "The message or notice is another tool's.",
                    "The difference between a tool and the shared state has ended meanwhile.",
                ],
                do=[
                    "Take the address from the schema, where every one stands.",
                    "Take the id from its list, and send the Statekeeper-Position that named it.",
                ],
            ),
            MethodNotAllowed: Advice(
                means="There is something at this address, but it does not take this method.",
                happens=["A case is to be deleted or replaced: cases only ever move on."],
                do=[
                    "Use one of the methods listed under allowed (and in the Allow header).",
                    "To undo a mistake, staff correct the case; history stays.",
                ],
            ),
        },
    ),
    Group(
        "Who is asking",
        "The key decides what may be seen and done.",
        {
            NotSignedIn: Advice(
                means="No key came with the request, or one that is not honoured here.",
                happens=[
                    "The Authorization header is missing, or is not Bearer and a key.",
                    "The key was revoked, or belongs to another installation.",
                ],
                do=[
                    "Send Authorization: Bearer and the key, whole.",
                    "Ask the operator for a new one: statekeeper keys issue --tool NAME.",
                ],
            ),
            BadSignature: Advice(
                means="Nothing proves that a webhook comes from the tool in its address.",
                happens=[
                    "The secret is not set, or is not the one that the product signs with.",
                    "The product signs its address, and was given another than this service knows.",
                    "It was signed too long ago, or a clock is wrong.",
                ],
                do=[
                    "Set STATEKEEPER_<TOOL>_SECRET, or what the flow names, and restart.",
                    "Behind a proxy, set STATEKEEPER_PUBLIC_URL to the address products are given.",
                    "Look into the service's log: it says which of these it is.",
                ],
            ),
            StaffOnly: Advice(
                means="This is for a member of staff; the key belongs to a tool.",
                happens=[
                    "A tool corrects a case, erases personal values, or adopts a case.",
                ],
                do=[
                    "Have a member of staff do it, with their own key and a reason.",
                    "If the state changed in the ordinary way, make the transition instead.",
                ],
            ),
            NotYours: Advice(
                means="The key is good, but this is not for its holder.",
                happens=[
                    "A tool asks about a lifecycle in which it does not stand.",
                    "A tool asks for another tool's view of a case.",
                    "A read-only key is used to change something.",
                ],
                do=[
                    "Ask with the key of a tool that stands in the lifecycle, or of staff.",
                    "If the tool should stand there, add it to the definition.",
                ],
            ),
            NotTheOwner: Advice(
                means="The truth that was claimed belongs to another tool. Each state and each"
                " field has one owner, and only the owner's word counts.",
                happens=[
                    "A tool makes a transition into a state that another tool owns.",
                    "A tool sets a field that belongs to another, in this state at least.",
                    "A tool releases a reference of another.",
                ],
                do=[
                    "Leave it to the owner named in the answer: it will say so itself.",
                    "If the owner cannot, staff may act in its place, with a reason.",
                    "If the owner is wrong, change the definition.",
                ],
            ),
        },
    ),
    Group(
        "What was named is not there",
        "A name in the address or the body means nothing here.",
        {
            UnknownCollection: Advice(
                means="No lifecycle keeps a collection of this name.",
                happens=["The collection is misspelt, or its definition is not loaded here."],
                do=["Use one of the collections named in the detail."],
            ),
            UnknownTool: Advice(
                means="The lifecycle knows no such tool, or the tool no such kind of record.",
                happens=[
                    "A reference names a tool or a kind that the definition does not declare."
                ],
                do=["Use one of those named in the detail, or declare it in the definition."],
            ),
            UnknownCase: Advice(
                means="No case of the collection has this id.",
                happens=[
                    "The id is of another collection, or is a tool's own id of the case.",
                    "The case was never opened here.",
                ],
                do=[
                    "By a tool's own id, ask /v1/tools/{tool}/{collection}/{ref}.",
                    "Open the case first.",
                ],
            ),
            UnknownReference: Advice(
                means="No case holds this reference.",
                happens=[
                    "The tool's record was never linked to a case, or its link was released.",
                    "The reference is of another kind of record than the one that was asked for.",
                ],
                do=[
                    "Set the reference on the case that it means; write kind:ref for another kind."
                ],
            ),
            UnknownVersion: Advice(
                means="The case never was at this version, or was not there yet at that time.",
                happens=["version is beyond the latest one.", "at or known_at is before it began."],
                do=["Read the history: it lists every version with its time."],
            ),
            UnknownTransition: Advice(
                means="The lifecycle declares no such transition (or state, in a correction).",
                happens=["The name is misspelt, or the definition has changed since."],
                do=["Use one of those named in the detail."],
            ),
        },
    ),
    Group(
        "The case, as it is, does not allow it",
        "The request is sound, but the case stands elsewhere than was thought. Look at it again.",
        {
            VersionMoved: Advice(
                means="The write was for one version of the case, which has moved on since.",
                happens=["Somebody else changed the case between reading it and writing."],
                do=["Read the case, decide anew, and send If-Match with its new version."],
            ),
            TransitionNotOpen: Advice(
                means="This transition does not lead out of the state in which the case is.",
                happens=[
                    "The case is there already, because the same was said before.",
                    "Something that comes before it was not reported yet.",
                ],
                do=[
                    "Look at what is open: the answer lists it, with who may do it.",
                    "If the case is in the wrong state, ask why; staff can correct it.",
                ],
            ),
            CaseExists: Advice(
                means="A case of this id is there already.",
                happens=["It was opened before, perhaps by an earlier try of the same request."],
                do=[
                    "Go on with the case that is there.",
                    "Open with an Idempotency-Key: a repeat then gets the first answer.",
                ],
            ),
            ReferenceTaken: Advice(
                means="The reference means another case already, named in the answer.",
                happens=[
                    "Two cases were opened for one record of the tool.",
                    "A record was merged or used again in the tool.",
                ],
                do=[
                    "If both are one job, go on with the case that holds the reference.",
                    "Else release it there first, then set it here.",
                ],
            ),
            ConditionNotMet: Advice(
                means="The transition is open, but its condition does not hold.",
                happens=[
                    "A fact that the condition looks at has another value: the answer shows which.",
                    "Two amounts are in different currencies, and cannot be compared.",
                ],
                do=["Have the owner of the field set what is true; then ask again."],
            ),
        },
    ),
    Group(
        "What was handed in does not fit",
        "The case is where it should be; something that was sent with the request is not right.",
        {
            IdempotencyKeyReused: Advice(
                means="This idempotency key was used before, for something else.",
                happens=[
                    "Two requests with one key differ in method, address, body or If-Match.",
                ],
                do=[
                    "Make a new key for every new ask; send it again only with the very same one.",
                ],
            ),
            InvalidFields: Advice(
                means="A value is not of the type of its field, or a field is not declared.",
                happens=[
                    "Money without a currency, a date that is none, a number with quotes.",
                    "A field that the lifecycle does not know.",
                ],
                do=["Go through errors: every wrong field stands there, with what would do."],
            ),
            FieldsMissing: Advice(
                means="The transition needs facts that nobody has told yet.",
                happens=["A required field, or one that its condition looks at, is not set."],
                do=[
                    "Send the fields listed under missing with the transition, if they are yours.",
                    "Else wait until their owner has set them.",
                ],
            ),
            ReasonRequired: Advice(
                means="Staff who act in a tool's place say why; the reason stays in the history.",
                happens=["A member of staff changes something, and gives no reason."],
                do=["Send a reason: one sentence for those who will read the history."],
            ),
        },
    ),
    Group(
        "Not now",
        "Nothing is wrong with the request. Send it again after the time that Retry-After names.",
        {
            StorageUnavailable: Advice(
                means="The database cannot be reached, is full, or lags behind what you have seen.",
                happens=[
                    "The database is restarting, or out of space.",
                    "The position sent in Statekeeper-Position has not arrived at this replica.",
                    "The connection broke in a commit: then may_have_happened is true.",
                ],
                do=[
                    "Repeat it with the same Idempotency-Key; the repeat gives the truth.",
                    "If it lasts, the operator looks at /health/ready.",
                ],
            ),
            TooManyRequests: Advice(
                means="Too many keys that are none came from one address.",
                happens=["Somebody tries keys at the sign-in page, or mistypes one many times."],
                do=["Wait as long as Retry-After says; requests with a key are not held up."],
                detail="Too many wrong keys came from your address. Try again in 5 minutes.",
                facts={"retry_after": 300},
            ),
            Overloaded: Advice(
                means="More is waiting to be decided than this service takes on at once.",
                happens=["Many requests arrive faster than they can be written."],
                do=[
                    "Wait as long as Retry-After says, and repeat with the same Idempotency-Key.",
                    "Send fewer at a time.",
                ],
                detail="1000 requests are being answered already; try again shortly",
            ),
            DefinitionNotAdopted: Advice(
                means="This process holds another definition than the one that was last adopted,"
                " and does not decide until they agree.",
                happens=["A new version of a definition is being rolled out."],
                do=[
                    "Repeat it: another process may hold the right definition.",
                    "If it lasts, restart the processes that run with the old files.",
                ],
                detail="this process holds version 1 of 'field_service', the log last adopted"
                " version 2: it does not decide until they agree",
            ),
        },
    ),
    Group(
        "Our fault",
        "The request may be right; the service is wrong.",
        {
            InternalFault: Advice(
                means="Something went wrong in the service itself.",
                happens=["A fault of ours: no request should bring it about."],
                do=[
                    "Look whether it happened, or repeat it with the same Idempotency-Key.",
                    "Tell the operator the request's id (X-Request-Id): the log has the rest.",
                ],
                detail="this is our fault; the service's log says more",
            ),
        },
    ),
)
"""Every problem, in the order in which a request is judged, more or less."""
