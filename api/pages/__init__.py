"""What people see in a browser: server-rendered, plain CSS, no script from elsewhere."""
