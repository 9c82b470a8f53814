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
  drawer: {
    title: 'Behind the scenes',
    open: 'Break things',
    tour: 'Guided tour',
    close: 'Close',
    loading: 'Loading…',
  },
});
