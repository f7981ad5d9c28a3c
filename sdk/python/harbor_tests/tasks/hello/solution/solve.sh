#!/bin/bash
echo hello > /root/hello.txt
