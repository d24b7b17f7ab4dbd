#!/bin/sh
sleep "${DELAY:-3}"
printf 'Content-Type: text/plain\r\n\r\n'
echo "at last"
