//! Office 365 over Microsoft Graph.
