/**
 * The page's texts in English, which is also the language of browsers for which there is no other one. `{name}` is
 * replaced; a text with `one` and `other` depends on `{count}`. Texts for codes of the services are tables by code. A second
 * language is a file with the same keys and placeholders, listed in texts.js.
 */

/** @typedef {import('./shapes.js').Step} Step */

export const en = /** @type {const} */ ({
  /** For numbers, money, dates and plurals (BCP 47). */
  locale: 'en-GB',

  page: {
    skip: 'Skip to content',
    home: 'Waypost, home',
    main: 'Main',
    here: 'You are here',
    shop: 'Shop',
    orders: 'Orders',
    basket: 'Basket',
    foot: 'Waypost is a demonstration: nothing is sold or charged.',
    language: 'Language',
    messages: 'Messages',
    tryAgain: 'Try again',
    dismiss: 'Dismiss',
    mistake: 'This page has a mistake',
    mistakeWhat: 'A part of it cannot be shown. Reload to try again.',
  },
  connection: {
    connecting: 'Connecting',
    live: 'Live',
    stale: 'Reconnecting',
    offline: 'Offline',
    stopped: 'Paused',
  },
  items: { one: '{count} item', other: '{count} items' },
  underWay: '{count} under way',

  person: {
    signIn: 'Sign in',
    signOut: 'Sign out',
    notSignedOut: 'Sign-out failed. Please try again.',
    signedOut: 'You have been signed out.',
    noLiveUpdates: 'There are no live updates right now.',
    unrecognised: 'We could not find out whether you are signed in. Reload to try again.',
    pleaseSignIn: 'Please sign in',
    whyOrders: 'Sign in to see your orders and to place new ones.',
    whyOrder: 'Sign in to see this order.',
  },
  expiry: {
    soon: 'Your sign-in ends soon.',
    left: { one: '{count} second left.', other: '{count} seconds left.' },
    stay: 'Stay signed in',
  },
  freshness: {
    offline: 'You are offline.',
    lost: 'We lost the connection and are trying again.',
    since: 'What you see is from {time}.',
    waiting: {
      one: '{count} order waits here and will be sent once, when you are back.',
      other: '{count} orders wait here and will be sent once, when you are back.',
    },
    goOn: 'You can go on: an order placed now waits here and is sent once, when you are back.',
  },
  bell: {
    title: 'Notifications',
    unread: { one: 'Notifications, {count} unread one', other: 'Notifications, {count} unread' },
    noneUnread: 'Notifications, none unread',
    readAll: 'Mark all as read',
    isUnread: '(unread)',
    none: 'No notifications yet. Updates about your orders appear here.',
    notAvailable: 'Notifications are not available right now',
  },

  part: {
    cannotBeShown: '{what} cannot be shown right now.',
    goOn: 'We keep trying. Everything else here works as usual.',
    stale: 'From {seconds} s ago. The latest data is not available.',
    notNow: 'That does not work right now',
    soon: 'Something on our side does not answer. It usually works again within a minute.',
    help: 'We are glad to help:',
    service: 'customer service',
    reference: 'Reference',
  },
  /** Why a part of a screen is missing, for developers; after the name of its team. */
  missing: {
    timeout: 'did not answer in time',
    'circuit-open': 'is not called for a while after too many failures',
    overloaded: 'is too busy right now',
    unreachable: 'cannot be reached',
    failed: 'had an error',
    refused: 'refused to answer',
    invalid: 'sent an unreadable answer',
  },

  /** Problems that this browser found itself, by their code. */
  noAnswer: {
    network: 'No connection',
    timeout: 'No answer in time',
    'client-error': 'This page has a mistake',
  },

  home: {
    title: 'Good things, and where they are right now.',
    lead: 'Stock is live. Every order shows each step as it happens, and also when a step fails.',
    products: 'Products',
    add: 'Add',
    addNamed: 'Add {name} to basket',
    added: '{name} is in your basket.',
    inBasket: '{count} in basket',
    full: 'The basket is full: an order has at most 20 different items.',
    cannotBeShown: 'The products cannot be shown',
    liveStock: 'Live stock',
  },
  stock: { unknown: 'Stock unknown', none: 'Sold out', few: 'Only {left} left', many: '{left} in stock' },
  product: {
    title: 'Product',
    quantity: 'Quantity',
    add: 'Add to basket',
    stock: 'Stock',
    delivery: 'Delivery',
    deliveryEstimate: 'The delivery estimate',
    days: { one: '{count} day', other: '{count} days' },
    daysBetween: '{least} to {most} days',
    weight: 'Weight',
    unknown: 'No such product',
    unknownWhat: 'It may no longer be for sale.',
    all: 'See all products',
    cannotBeShown: 'This product cannot be shown',
  },
  basket: {
    title: 'Basket',
    empty: 'Your basket is empty',
    emptyWhat: 'Items that you add are stored here, in this browser.',
    lookAround: 'Look around',
    quantityOf: 'Quantity of {name}',
    remove: 'Remove',
    less: 'One less',
    more: 'One more',
    delivery: 'Delivery',
    deliveryLater: 'is added when you order',
    payWith: 'Pay with',
    card: 'Card ending in {digits}',
    place: 'Place order',
    signIn: 'Sign in to order',
    what: 'We reserve the items, then charge your card, then book the parcel. If a step fails, the ones before it are undone.',
    tooMany: 'Too many orders are still being sent. Please wait until they have arrived.',
  },
  lost: {
    title: 'Nothing here',
    what: 'There is no such page in the shop.',
    back: 'Back to the shop',
  },

  orders: {
    title: 'Your orders',
    none: 'No orders yet',
    noneWhat: 'Your first order will show every step here, as it happens.',
    goShopping: 'Go shopping',
    cannotBeListed: 'Older orders cannot be listed right now',
  },
  order: {
    title: 'Order',
    numbered: 'Order {id}',
    new: 'New order',
    cancel: 'Cancel order',
    steps: 'Steps',
    noHistory: 'The history is not available right now.',
    items: 'Items',
    total: 'Total',
    payment: 'Payment',
    thePayment: 'The payment',
    notCharged: 'Nothing was charged.',
    parcel: 'Parcel',
    theParcel: 'The parcel',
    noParcelYet: 'No parcel yet.',
    noParcel: 'No parcel was booked.',
    tracking: 'Tracking',
    unknown: 'No such order',
    cannotBeShown: 'This order cannot be shown',
    progress: 'Progress',
    putBack: 'Put back in basket',
    otherCard: 'Choose another card',
    askAgain: 'Ask again now',
    hide: 'Hide',
    attempt: 'attempt {attempt}',
    attemptAfter: 'attempt {attempt}, {why} before',
    nextTry: 'next try in {seconds} s',
    tryingNow: 'being tried now',
  },
  paymentStatus: { captured: 'Charged', refunded: 'Refunded' },
  shipmentStatus: { booked: 'Booked', cancelled: 'Called back' },
  stops: { reserve: 'Reserve', charge: 'Charge', ship: 'Ship' },
  /** The names of stops where something happened; others keep their plain one. */
  stopsNow: {
    done: { reserve: 'Reserved', charge: 'Charged', ship: 'Shipped' },
    undoing: { reserve: 'Putting back', charge: 'Refunding', ship: 'Calling back' },
    undone: { reserve: 'Put back', charge: 'Refunded', ship: 'Called back' },
    failed: { reserve: 'Not reserved', charge: 'Declined', ship: 'Not shipped' },
  },
  /** The state of a stop, for screen readers. */
  stopStates: {
    todo: 'to come',
    now: 'in progress',
    done: 'done',
    undoing: 'being undone',
    undone: 'undone',
    failed: 'refused',
    skipped: 'not reached',
  },
  notice: {
    notPlaced: 'Your order was not placed',
    notPlacedWhy: 'Your order was not placed: {why}.',
    notPossible: 'That was not possible',
    details: 'Details',
    newPrice: 'Show me the new price',
    oldPrices: '{why}. The prices in the basket may be old.',
    announced: 'Order: {label}',
    onItsWay: 'Your order is on its way.',
    see: 'See order',
  },

  /** Two or three words for the state of an order. */
  labels: {
    sending: 'Sending…',
    unknown: 'Checking…',
    moving: 'Under way',
    undoing: 'Undoing',
    cancelling: 'Cancelling…',
    done: 'On its way',
    undone: 'Undone',
    declined: 'Payment declined',
    cancelled: 'Cancelled',
    refused: 'Refused',
    soldOut: 'Sold out',
    attention: 'Being looked into',
    waiting: 'Received',
  },
  /** What a step does. */
  doing: /** @satisfies {Partial<Record<Step, string>>} */ ({
    reserve: 'Setting items aside',
    charge: 'Charging your card',
    ship: 'Booking the parcel',
  }),
  undoing: /** @satisfies {Partial<Record<Step, string>>} */ ({
    refund: 'Refunding',
    release: 'Putting items back',
    'cancel-shipment': 'Calling the parcel back',
  }),
  /** What a step has done. */
  did: /** @satisfies {Partial<Record<Step, string>>} */ ({
    reserve: 'Items set aside',
    charge: 'Card charged',
    ship: 'Parcel booked',
  }),
  undid: /** @satisfies {Partial<Record<Step, string>>} */ ({
    refund: 'Money refunded',
    release: 'Items put back',
    'cancel-shipment': 'Parcel called back',
  }),
  /** How a service refused its step, by the saga's reason. */
  refusals: {
    'card-declined': 'Card declined',
    'out-of-stock': 'Sold out',
    'no-carrier': 'No carrier took the parcel',
  },
  /** The name of a step's attempt. */
  tried: /** @satisfies {Record<Step, string>} */ ({
    reserve: 'Setting items aside',
    charge: 'Charge',
    ship: 'Booking the parcel',
    'cancel-shipment': 'Calling the parcel back',
    refund: 'Refund',
    release: 'Putting items back',
  }),
  triedOther: 'This step',
  /** By the service that is called again. `failed` begins a sentence, `before` continues one. */
  services: {
    inventory: {
      team: 'Inventory (#inventory)',
      failed: 'The warehouse did not answer',
      before: 'the warehouse did not answer',
    },
    payments: {
      team: 'Payments (#payments)',
      failed: 'Payments did not answer',
      before: 'payments did not answer',
    },
    shipping: {
      team: 'Shipping (#shipping)',
      failed: 'Shipping did not answer',
      before: 'shipping did not answer',
    },
    other: { team: 'Orders (#orders)', failed: 'Failed', before: 'failed' },
  },
  /** By the saga's reason: what happened, and what to do next. */
  reasons:
    /** @satisfies {Record<Exclude<import('./shapes.js').Reason, 'given-up'>, {happened: string, next: string}>} */ ({
      'card-declined': {
        happened: 'Your card was declined. Nothing was charged and the items are back in stock.',
        next: 'Choose another card and order again; your items are still here.',
      },
      'no-carrier': {
        happened:
          'No carrier takes this parcel. Your money is on its way back and the items are back in stock.',
        next: 'Put the items back to order fewer in one parcel, or order again later.',
      },
      'out-of-stock': {
        happened: 'An item of this order sold out before we could set it aside. Nothing was charged.',
        next: 'Put the rest back in the basket, with fewer items or other ones.',
      },
      'payments-unavailable': {
        happened: 'Your payment could not be made. Nothing stays charged and the items are back in stock.',
        next: 'Put the items back in the basket and try again in a while.',
      },
      'shipping-unavailable': {
        happened: 'No parcel could be booked. Nothing stays charged and the items are back in stock.',
        next: 'Put the items back in the basket and try again in a while.',
      },
      'inventory-unavailable': {
        happened: 'The warehouse could not be reached. Nothing was charged.',
        next: 'Put the items back in the basket and try again in a while.',
      },
      cancelled: {
        happened: 'You cancelled this order. Nothing stays charged and the items are back in stock.',
        next: 'Changed your mind? Put it back in the basket.',
      },
    }),
  messages: {
    unknown: {
      happened: 'We do not know yet whether this order arrived.',
      next: 'We keep trying with the same order number, so it cannot be placed twice.',
    },
    refused: {
      happened: 'This order could not be completed. Everything done for it was undone.',
      next: 'Put the items back in the basket to try again.',
    },
    undoing: {
      declined: 'Your card was declined.',
      cancelled: 'You cancelled this order.',
      other: 'This order could not be completed.',
      next: 'We are undoing what was done for it.',
    },
    givenUp: {
      happened: 'We could not undo everything automatically, so our team does it by hand.',
      next: 'They will be in touch with you.',
    },
    attention: {
      happened: 'A step of this order keeps failing. We keep retrying it.',
      next: 'Our team looks into it; there is nothing for you to do.',
    },
  },
  /** The lines of an order's history. */
  moments: {
    received: 'Order received',
    doing: '{step}…',
    did: 'Step done',
    stopped: '{step}: stopped, because you cancelled',
    failed: '{step}: no answer, given up',
    completed: 'Order complete',
    givenUp: 'Ended by a person',
    attention: '{step}: needs attention, still being tried',
    attended: '{step}: needed attention',
    declined: 'Card declined, everything undone',
    soldOut: 'Sold out, nothing done',
    cancelled: 'Cancelled, everything undone',
    refused: 'Refused, nothing done',
    undone: 'Everything undone',
  },

  time: { today: 'Today, {time}' },

  /** The drawer of the demo, with the panel and the tour. */
  drawer: { title: 'Behind the scenes', open: 'Break things', close: 'Close', loading: 'Loading…' },
  panel: {
    title: 'Break things',
    start: 'Break it',
    owners: 'Whom to ask',
    noOwners: 'Nothing has failed so far.',
    part: '{what}: {team} {reason}',
    problem: '{what} ({status}): {team}',
    contact: 'Channel: {contact}',
    docs: 'Documentation',
    reset: 'Put everything right',
    watch: 'Watch:',
    breakers: 'Breakers',
    stream: 'The stream',
    screens: 'The last screens',
    services: 'Service by service',
    noService: 'No service was called.',
    screenTook: '{status}, {milliseconds} ms',
    screenIncomplete: '{status}, incomplete, {milliseconds} ms',
    milliseconds: '{milliseconds} ms',
    stuck: 'Orders that need an operator',
    stuckAttempt: '{what}, attempt {attempt}',
    retry: 'Try again now',
    giveUp: 'Give up',
    stoppedFor: 'Stopped for another {seconds} s.',
    down: 'down',
    thisPage: 'This page',
    position: 'Last position',
    heard: 'Last sign of life',
    streams: 'Streams open at the gateway',
    noneYet: 'none yet',
    secondsAgo: '{seconds} s ago',
  },
  /** What happens underneath, as the tour shows it. */
  underneath: {
    title: 'What happens underneath',
    trace: 'Trace',
    events: 'Events',
    policies: 'Policies',
    noTrace: 'No request yet.',
    noEvents: 'No event yet.',
    noPolicies: 'Nothing to decide yet.',
    request: '{status}, {milliseconds} ms',
    traceId: 'trace {id}',
    event: 'version {version}, {at}',
    attempt: 'attempt {attempt}',
  },
  /** What a policy did, by the kind of its event. */
  policies: {
    failed: '{call}: {outcome} after {milliseconds} ms',
    retry: '{call}: attempt {attempt}, because of {why}',
    rejected: '{call}: not sent ({why})',
    opened: 'Breaker of {service}: opened',
    'half-opened': 'Breaker of {service}: lets one call probe',
    closed: 'Breaker of {service}: closed again',
    cached: '{call}: answered by the cache ({how})',
    incomplete: '{route}: answered in time, with {missing} missing',
  },
  tour: {
    title: 'Guided tour',
    intro:
      'Four scenes of two minutes. Each breaks something real; watch the shop on one side and what happens underneath on the other.',
    minutes: '2 minutes',
    scene: 'Scene {number} of {count}',
    next: 'Next scene',
    all: 'All scenes',
    again: 'Start again',
    finished: 'Seen.',
    signIn: 'This scene needs an order, so please sign in first: pick any person.',
    doIt: 'Do it',
    isDone: '(done)',
  },
  /** The scenes of the tour: each step says what to do or to watch. */
  tours: {
    'slow-part': {
      title: 'A slow part',
      why: 'One service is slow. The screen does not wait for it: the part is optional and has half a second.',
      steps: {
        break: 'Make inventory slow: it takes two and a half seconds for every answer.',
        look: 'Load the products. They are there after half a second, without the live stock.',
        open: 'Load the page of every product: after so many failures the breaker opens, and inventory is not asked for a while.',
        repair:
          'Put inventory right. The breaker lets one call probe, closes, and the stock is back by itself.',
      },
      learned: 'An optional part costs its own time limit at most, and says so in the answer.',
    },
    'declined-card': {
      title: 'A declined card',
      why: 'An order is a saga over three services. When one says no, what was done before is undone.',
      steps: {
        break: 'Let payments decline every card.',
        basket: 'Put a mug in the basket.',
        order: 'Place the order. It is on the page at once, before anything was sent.',
        undone: 'Watch the line run back: the items are put back in stock. Nothing was charged.',
        repair: 'Put payments right.',
        again: 'Choose another card on that order and place it again.',
      },
      learned: 'Each step came as an event over one stream; no page asked again and again.',
    },
    'killed-orders': {
      title: 'A killed service',
      why: 'The orders service is killed at the worst moment: the card is charged, and it does not know yet.',
      steps: {
        break: 'Hold the next charge, to kill orders while it waits for the answer.',
        basket: 'Put a mug in the basket.',
        order: 'Place the order. It stops at Charge, and orders is killed with kill -9.',
        back: 'Orders restarts by itself and finds the order where it was.',
        done: 'The order completes. The charge was sent again with the same key, so it was made once.',
      },
      learned: 'Each attempt of a step has the same idempotency key, and the saga remembers what was done.',
    },
    'stopped-redis': {
      title: 'Redis stops',
      why: 'Redis holds sessions, keys of commands and the journals of the streams. It freezes for ten seconds.',
      steps: {
        basket: 'Put a mug in the basket.',
        break: 'Stop Redis for ten seconds.',
        order:
          'Place the order while Redis is stopped. You are still signed in; the order shows that it is being checked.',
        back: 'Redis continues. The stream catches up without a reload.',
        done: 'The order was sent again with the same key, and was placed once.',
      },
      learned: 'Nobody is signed out by an outage, reads go on, and no command is done twice.',
    },
  },
  streamStates: {
    connecting: 'joining',
    live: 'live',
    stale: 'joining again',
    offline: 'no network',
    stopped: 'not signed in',
  },
  breakerStates: { closed: 'closed', open: 'open', 'half-open': 'half-open' },
  faults: { latency_ms: 'Slow', error_rate: 'Failing', refuse: 'Refusing' },
  /** Each scene of the panel: its name, what it does, and what to watch. */
  scenes: {
    'slow-payments': {
      title: 'Slow payments',
      does: 'Payments takes two and a half seconds for every answer.',
      watch:
        'An order waits at Charge and still completes; its page does not wait and shows that the payment is missing.',
    },
    'failing-payments': {
      title: 'Failing payments',
      does: 'Payments answers every request with an error.',
      watch:
        'An order shows the number of its attempt and when the next one comes. Open it a few times, and the breaker of payments opens.',
    },
    'declined-payments': {
      title: 'Refused payments',
      does: 'Payments declines every card.',
      watch:
        'An order is undone at Charge: the items are back in stock, and the order shows the reason and offers another card.',
    },
    'failing-refunds': {
      title: 'Failing refunds',
      does: 'Refunds fail, and parcels are booked slowly, so that there is time to cancel.',
      watch:
        'Place an order and cancel it while the parcel is booked: the refund counts its attempts, then needs attention. End the scene, and it finishes.',
    },
    'no-stock': {
      title: 'No stock',
      does: 'Inventory refuses every reservation.',
      watch: 'An order is refused at Reserve with nothing to undo; the page shows the real stock again.',
    },
    'slow-inventory': {
      title: 'Slow inventory',
      does: 'Inventory takes two and a half seconds for every answer.',
      watch: 'Products are shown after half a second without their live stock; it comes back by itself.',
    },
    'slow-catalog': {
      title: 'Slow catalog',
      does: 'Catalog takes two seconds, longer than the deadline of a screen.',
      watch:
        'Screens that need the catalog answer a problem in time; then the breaker opens, and they answer at once.',
    },
    'kill-orders-mid-charge': {
      title: 'Kill orders in mid-charge',
      does: 'The next charge is held after it was made; orders is killed with kill -9 before it gets the answer.',
      watch:
        'Place an order: it stops at Charge, orders restarts, and the order completes. The card is charged once.',
    },
    'stop-redis': {
      title: 'Stop Redis for 10 s',
      does: 'Redis freezes and does not answer.',
      watch:
        'You stay signed in, and products are shown. An order is sent again with the same number until its outcome is known, and is placed once; the stream catches up without a reload.',
    },
  },
});
